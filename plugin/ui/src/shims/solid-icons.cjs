module.exports = window.PluginApi.libraries.FontAwesomeSolid;
