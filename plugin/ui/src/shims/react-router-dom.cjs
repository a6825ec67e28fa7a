module.exports = window.PluginApi.libraries.ReactRouterDOM;
