module.exports = window.PluginApi.libraries.Bootstrap;
