module.exports = window.PluginApi.React;
