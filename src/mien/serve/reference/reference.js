// Renders openapi.json: every route with its parameters, body and responses, and every schema. Text is never set as HTML.

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
