// Calls the handlers of a LoadVars or XML object with the response of a web server.
(function (target, response, bytes) {
  "use strict";
  const failed = response === null || response.status >= 400;
  Object.defineProperty(target, bytes, {
    value: response === null ? undefined : response.length,
    writable: true, enumerable: false, configurable: true,
  });
  if (typeof target.onHTTPStatus === "function") {
    target.onHTTPStatus(response === null ? 0 : response.status);
  }
  if (typeof target.onData === "function") target.onData(failed ? undefined : response.text);
})
