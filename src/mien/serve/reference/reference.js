// Draws openapi.json: every route with its parameters, body, answers and an example. Text is set as text alone.

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

// Text in which what stands between backticks is code.
function prose(name, text) {
  const parts = (text ?? "").split("`").map((part, index) => (index % 2 ? code(part) : part));
  return element(name, "", ...parts);
}

function code(text) {
  return element("code", text);
}

function resolve(document, schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce((value, key) => value[key], document);
}

function typeOf(document, schema) {
  const whole = resolve(document, schema);
  if (whole.anyOf) return whole.anyOf.map((one) => typeOf(document, one)).join(" or ");
  if (whole.enum) return whole.enum.map((value) => JSON.stringify(value)).join(", ");
  if (whole.type === "array") return `array of ${typeOf(document, whole.items)}`;
  return whole.title && whole.properties ? whole.title : whole.type ?? "any";
}

function told(document, schema, description) {
  return prose("span", `${typeOf(document, schema)}${description ? `. ${description}` : ""}`);
}

function table(rows) {
  const body = element("tbody");
  for (const cells of rows) body.append(element("tr", "", ...cells.map((cell) => element("td", "", cell))));
  return element("table", "", body);
}

function fields(document, schema) {
  const properties = Object.entries(resolve(document, schema).properties ?? {});
  return table(properties.map(([name, one]) => [
    code(name),
    told(document, one, one.description),
  ]));
}

function operation(document, method, path, one) {
  const part = element("section", "", element("h2", "", code(`${method.toUpperCase()} ${path}`)));
  part.append(prose("p", one.description ?? one.summary));
  if (one.parameters) {
    part.append(element("h3", "Query"), table(one.parameters.map((parameter) => [
      code(parameter.name),
      told(document, parameter.schema, parameter.description),
    ])));
  }
  if (one.requestBody) {
    const kinds = Object.keys(one.requestBody.content).join(", ");
    part.append(element("h3", "Body"), prose("p", `${one.requestBody.description} Sent as ${kinds}.`));
  }
  part.append(element("h3", "Answers"), table(Object.entries(one.responses).map(([status, answer]) => [
    code(status), prose("span", answer.description),
  ])));
  return part;
}

function shape(document, name, schema) {
  const part = element("section", "", element("h2", name), prose("p", schema.description));
  part.append(fields(document, schema));
  if (schema.examples) part.append(element("pre", JSON.stringify(schema.examples[0], null, 2)));
  return part;
}

async function draw() {
  const place = window.document.getElementById("routes");
  const answer = await fetch("openapi.json");
  if (!answer.ok) {
    place.replaceChildren(element("p", `The document could not be read: ${answer.status}`));
    return;
  }
  const read = await answer.json();
  const parts = [prose("p", read.info.description)];
  for (const [path, methods] of Object.entries(read.paths)) {
    for (const [method, one] of Object.entries(methods)) parts.push(operation(read, method, path, one));
  }
  const shapes = Object.entries(read.components.schemas).filter(([, schema]) => schema.properties);
  place.replaceChildren(...parts, ...shapes.map(([name, schema]) => shape(read, name, schema)));
}

draw();
