// Why a request was refused, for people: what the node said, or the HTTP status where something else answered, a proxy.
// It must not know what was asked.

const WORDS = {
  401: "unauthorized",
  403: "forbidden",
  404: "not found",
  407: "the proxy asks for a login",
  408: "the request took too long",
  413: "too large",
  429: "too many requests",
  500: "internal error",
  502: "bad gateway",
  503: "service unavailable",
  504: "the gateway has waited too long",
};

/** What the node says in an answer that is a refusal; null: it is no node that answers. */
export async function detailOf(answer) {
  try {
    const { detail } = await answer.json();
    return typeof detail === "string" ? detail : null;
  } catch {
    return null;
  }
}

/** An answer that is not of a node, in words; HTTP/2 brings none with the number. */
export function strange({ status }) {
  const words = WORDS[status] ?? "";
  return `something that is no node answers, with HTTP status ${status}${words && `, ${words}`}`;
}
