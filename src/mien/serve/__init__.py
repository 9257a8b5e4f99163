"""`mien serve`: predictions over HTTP and a web page that runs the model in the browser; `mien page`: that page as a folder.

From the bottom up: `settings` (limits and timeouts), `api_errors` (the single error format), `memory_budget` (limits
that fit the memory), `uploads` (from a request body to image bytes, in memory), `worker_threads` (thread pools that
report how long their work takes), `preprocessing` (decoding, detection and cropping), `batching` (one model call for
the faces of several clients), `service` (handles one request from end to end), `metrics`, `body_drain`, `proxies`,
`cors` and `authentication` (ASGI middleware), `site` and `static_files` (the page's files), `schemas` and `routes`,
`app`, `connection_limits` and `connections` (who is connected, and timeouts), `server` (the process).
"""
