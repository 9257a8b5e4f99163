// Renders openapi.json: every route with its parameters, body and responses, a form that sends a request to it, and every
// schema. Text is never set as HTML.

function element(name, text, ...children) {
  const node = document.createElement(name);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}

function code(text) {
  return element("code", text);
}

// Text with code in backticks.
function prose(name, text) {
  const parts = (text ?? "").split("`").map((part, index) => (index % 2 ? code(part) : part));
  return element(name, "", ...parts);
}

function resolve(spec, schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce((value, key) => value[key], spec);
}

function typeName(spec, schema) {
  const resolved = resolve(spec, schema);
  if (resolved.anyOf) return resolved.anyOf.map((option) => typeName(spec, option)).join(" or ");
  if (resolved.enum) return resolved.enum.map((value) => JSON.stringify(value)).join(", ");
  if (resolved.type === "array") return `array of ${typeName(spec, resolved.items)}`;
  return resolved.title && resolved.properties ? resolved.title : resolved.type ?? "any";
}

function typeAndDescription(spec, schema, description) {
  return prose("span", `${typeName(spec, schema)}${description ? `. ${description}` : ""}`);
}

function table(rows) {
  const body = element("tbody");
  for (const cells of rows) body.append(element("tr", "", ...cells.map((cell) => element("td", "", cell))));
  return element("table", "", body);
}

function labeled(text, control) {
  return element("label", "", code(text), control);
}

function parameterControl(spec, schema) {
  const resolved = resolve(spec, schema);
  const options = (resolved.anyOf ?? [resolved]).map((option) => resolve(spec, option));
  const choices = options.flatMap((option) => option.enum ?? []);
  if (!choices.length) {
    const input = element("input");
    input.placeholder = resolved.default ?? "";
    return input;
  }
  const select = element("select", "", ...["", ...choices].map((choice) => element("option", String(choice))));
  select.options[0].textContent = resolved.default === undefined ? "" : `(${resolved.default})`;
  select.options[0].value = "";
  return select;
}

// A form that sends a request from this page and shows the response, with the same request as a command.
function requestForm(spec, method, path, operation) {
  const controls = (operation.parameters ?? []).map(({ name, schema }) => ({ name, control: parameterControl(spec, schema) }));
  const files = operation.requestBody ? Object.assign(element("input"), { type: "file", multiple: true, accept: "image/*" }) : null;
  const command = element("pre");
  const response = element("pre");
  response.setAttribute("aria-live", "polite");
  response.hidden = true;
  const send = element("button", "Send");
  send.type = "button";
  const address = () => {
    const url = new URL(path.slice(1), document.baseURI);
    for (const { name, control } of controls) if (control.value) url.searchParams.append(name, control.value);
    return url;
  };
  const describe = () => {
    const names = files ? [...files.files].map(({ name }) => `-F 'images=@${name.replaceAll("'", "'\\''")}'`) : [];
    const parts = files && !names.length ? ["-F images=@photo.jpg"] : names;
    command.textContent = ["curl", ...parts, `'${address()}'`].join(" ");
  };
  send.addEventListener("click", async () => {
    send.disabled = true;
    response.hidden = false;
    response.textContent = "…";
    const form = new FormData();
    if (files) for (const file of files.files) form.append("images", file, file.name);
    const started = performance.now();
    try {
      const answer = await fetch(address(), { method: method.toUpperCase(), body: files ? form : undefined });
      const text = await answer.text();
      const isJson = (answer.headers.get("content-type") ?? "").includes("json");
      const status = `${answer.status} ${answer.statusText}, ${Math.round(performance.now() - started)} ms`;
      response.textContent = `${status}\n\n${isJson ? JSON.stringify(JSON.parse(text), null, 2) : text}`;
    } catch (error) {
      response.textContent = `No response: ${error.message}`;
    }
    send.disabled = false;
  });
  const form = element("form", "", element("h3", "Try it"));
  if (files) form.append(labeled("images", files));
  form.append(...controls.map(({ name, control }) => labeled(name, control)), command, send, response);
  form.addEventListener("input", describe);
  form.addEventListener("submit", (event) => event.preventDefault());
  describe();
  return form;
}

function operationSection(spec, method, path, operation) {
  const section = element("section", "", element("h2", "", code(`${method.toUpperCase()} ${path}`)));
  section.append(prose("p", operation.description ?? operation.summary));
  if (operation.parameters) {
    section.append(element("h3", "Query parameters"), table(operation.parameters.map((parameter) => [
      code(parameter.name),
      typeAndDescription(spec, parameter.schema, parameter.description),
    ])));
  }
  if (operation.requestBody) {
    const types = Object.keys(operation.requestBody.content).join(", ");
    section.append(element("h3", "Request body"), prose("p", `${operation.requestBody.description} Content types: ${types}.`));
  }
  section.append(element("h3", "Responses"), table(Object.entries(operation.responses).map(([status, response]) => [
    code(status), prose("span", response.description),
  ])));
  section.append(requestForm(spec, method, path, operation));
  return section;
}

function schemaSection(spec, name, schema) {
  const section = element("section", "", element("h2", name), prose("p", schema.description));
  section.append(table(Object.entries(schema.properties).map(([field, type]) => [
    code(field),
    typeAndDescription(spec, type, type.description),
  ])));
  if (schema.examples) section.append(element("pre", JSON.stringify(schema.examples[0], null, 2)));
  return section;
}

async function render() {
  const main = document.getElementById("routes");
  const response = await fetch("openapi.json");
  if (!response.ok) {
    main.replaceChildren(element("p", `openapi.json could not be loaded: ${response.status}`));
    return;
  }
  const spec = await response.json();
  const operations = Object.entries(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => operationSection(spec, method, path, operation)),
  );
  const schemas = Object.entries(spec.components.schemas)
    .filter(([, schema]) => schema.properties)
    .map(([name, schema]) => schemaSection(spec, name, schema));
  main.replaceChildren(prose("p", spec.info.description), ...operations, ...schemas);
}

render();
