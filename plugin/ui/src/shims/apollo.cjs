module.exports = window.PluginApi.libraries.Apollo;
