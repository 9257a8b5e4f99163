"""`mien serve`: faces read over HTTP, and the page that reads them in a browser; `mien page`: that page as a folder.

From the ground up: `settings` (the limits), `refusals` (the one error shape), `uploads` (a request's body to pictures,
in memory), `workers` (threads, and how long they take), `cutting` (decoding and detection, in threads), `batching`
(pictures of several clients in one call of the model), `service` (all of it for one request), `counters`, `courtesy` and
`gate` (around every request), `site` (the page's files), `routes`, `app`, `crowd` and `connections` (who is connected, and
for how long), `command` (the process).
"""
