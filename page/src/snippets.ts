// The request that a program sends instead of this page, for developers to copy.

import { byId, setText } from "./dom.ts";

/** Fill in the address of the server that the page comes from, or of one on the reader's machine. */
export function showSnippets(isServed: boolean): void {
  const url = new URL("v1/predict", isServed ? document.baseURI : "http://127.0.0.1:8000/").href;
  byId("serve-hint").hidden = isServed;
  setText(byId("snippet-curl"), `curl -F images=@photo.jpg ${url}`);
  setText(
    byId("snippet-python"),
    `import requests

with open("photo.jpg", "rb") as file:
    response = requests.post("${url}", files={"images": file})
response.raise_for_status()
for face in response.json()["results"][0]["rows"]:
    print(face["status"], face["expression"], face["confidence"])`,
  );
  setText(
    byId("snippet-javascript"),
    `const form = new FormData();
form.append("images", file); // a File or Blob
const response = await fetch("${url}", { method: "POST", body: form });
const { results } = await response.json();
for (const face of results[0].rows) console.log(face.status, face.expression, face.confidence);`,
  );
}
