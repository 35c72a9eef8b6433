// JSON as text: indented, cut out of larger JSON, or judged, but never read into numbers, because a browser would round
// integers beyond 2^53. It must not know what the values are for.

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[[\]{}:,]|\s+/gy;

/** The parts of a JSON text without white space: strings, numbers, words, punctuation. */
export function tokens(text) {
  return (text.match(TOKEN) ?? []).filter((token) => token.trim() !== "");
}

/** The same value on many lines, two spaces a level; what has one element or none stays on its line. */
export function indented(text) {
  const parts = tokens(text);
  let out = "";
  let level = 0;
  parts.forEach((part, index) => {
    const next = parts[index + 1];
    if (part === "{" || part === "[") {
      out += part;
      if (next === "}" || next === "]") return;
      level += 1;
      out += newline(level);
    } else if (part === "}" || part === "]") {
      const before = parts[index - 1];
      if (before !== "{" && before !== "[") {
        level -= 1;
        out += newline(level);
      }
      out += part;
    } else if (part === ",") out += part + newline(level);
    else out += part === ":" ? ": " : part;
  });
  return out;
}

function newline(level) {
  return "\n" + "  ".repeat(level);
}

/** The text of the first member of an object, as `value` is in what GET /v1/value answers; it is not read. */
export function firstMember(text) {
  const parts = tokens(text);
  let depth = 0;
  for (let end = 3; end < parts.length; end += 1) {
    if (depth === 0 && (parts[end] === "," || parts[end] === "}")) return parts.slice(3, end).join("");
    if (parts[end] === "{" || parts[end] === "[") depth += 1;
    if (parts[end] === "}" || parts[end] === "]") depth -= 1;
  }
  return "";
}

/** What kind of value a JSON text is, a word for people. */
export function kindOf(text) {
  const words = { '"': "text", "{": "object", "[": "list", t: "true or false", f: "true or false", n: "null" };
  return words[text[0]] ?? "number";
}

/** Why a text is no JSON, for people; null if it is. */
export function faultOf(text) {
  if (text.trim() === "") return "There is nothing to write yet.";
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return `This is not JSON: ${error.message}.`;
  }
}
