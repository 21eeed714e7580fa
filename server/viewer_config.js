// The settings of the viewer, made by Hounsfield. A file app-config.js in http.viewerDirectory takes its place when it
// names "@DICOMWEB@" in quotes.
(function () {
  // Where the server is for this browser, be it behind a proxy that took a part of the path away.
  const root = document.currentScript.src.replace(/\/(viewer\/)?app-config\.js([?#].*)?$/, '');
  const dicomweb = root + '@DICOMWEB@';

  window.config = {
    name: 'Hounsfield',
    routerBasename: new URL(root + '/viewer').pathname,
    extensions: [],
    modes: [],
    customizationService: {},
    showStudyList: true,
    maxNumberOfWebWorkers: 3,
    showWarningMessageForCrossOrigin: true,
    showCPUFallbackMessage: true,
    showLoadingIndicator: true,
    experimentalStudyBrowserSort: false,
    strictZSpacingForVolumeViewport: true,
    groupEnabledModesFirst: true,
    allowMultiSelectExport: false,
    maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
    showErrorDetails: 'dev',
    defaultDataSourceName: 'hounsfield',
    dataSources: [
      {
        namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
        sourceName: 'hounsfield',
        configuration: {
          friendlyName: 'Hounsfield',
          name: 'hounsfield',
          qidoRoot: dicomweb,
          wadoRoot: dicomweb,
          wadoUriRoot: dicomweb + '/wado',
          qidoSupportsIncludeField: true,
          supportsWildcard: true,
          supportsFuzzyMatching: false,
          imageRendering: 'wadors',
          thumbnailRendering: 'thumbnail',
          thumbnailRequestStrategy: 'fetch',
          enableStudyLazyLoad: true,
          staticWado: false,
          dicomUploadEnabled: true,
          singlepart: 'bulkdata,video,pdf',
          bulkDataURI: { enabled: true },
          omitQuotationForMultipartRequest: true,
        },
      },
    ],
  };
})();
