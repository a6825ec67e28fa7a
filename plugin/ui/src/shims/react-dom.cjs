module.exports = window.PluginApi.ReactDOM;
