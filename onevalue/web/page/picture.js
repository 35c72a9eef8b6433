// The members as a picture: up to some dozens as a ring with this node at its top, more as a field of marks.
// A mark has its place by its name, so that it stays there when others change. It must not know the table.

import { setAttribute, shape } from "./dom.js";
import { HOLDS, STATUSES, holdingOf, mark, statusOf } from "./mark.js";

const RING_MAX = 24;
const NAMED_MAX = 14;
const FEW_MAX = 6; // whose names may be large on a small screen
const NAME_SHOWN_MAX = 12;
const RADIUS = 112;
const CELL = 26;

export class Picture {
  constructor(place) {
    this.svg = shape("svg", { role: "img", class: "members-picture" });
    this.drawn = new Map(); // by name: the group, and what it shows
    this.layout = "";
    place.append(this.svg);
  }

  /** The picture shows these members; `summary` says the same in words. */
  render(members, me, holding, summary) {
    const sorted = [...members].sort((a, b) => (b.name === me) - (a.name === me) || (a.name < b.name ? -1 : 1));
    const layout = JSON.stringify(sorted.map((member) => member.name));
    if (layout !== this.layout) this.lay(sorted, me);
    this.layout = layout;
    for (const member of sorted) this.show(member);
    setAttribute(this.svg, "aria-label", summary);
    const all = holding.yes + holding.no + holding.unknown;
    if (this.centre) {
      this.centre[0].textContent = `${holding.yes} of ${all}`;
      this.centre[1].textContent = all === 1 ? "holds the value" : "hold the value";
    }
  }

  /** New places for all. */
  lay(sorted, me) {
    this.drawn.clear();
    this.centre = null;
    const ring = sorted.length <= RING_MAX;
    this.svg.replaceChildren(...(ring ? this.ring(sorted, me) : this.field(sorted, me)));
  }

  ring(sorted, me) {
    const named = sorted.length <= NAMED_MAX;
    this.svg.classList.toggle("many", sorted.length > FEW_MAX);
    this.svg.setAttribute("viewBox", named ? "-220 -160 440 320" : "-150 -150 300 300");
    this.svg.style.maxWidth = named ? "30rem" : "21rem";
    this.centre = [
      shape("text", { class: "centre-count", "text-anchor": "middle", y: 2 }),
      shape("text", { class: "centre-words", "text-anchor": "middle", y: 26 }),
    ];
    const groups = sorted.map((member, index) => {
      const angle = (2 * Math.PI * index) / sorted.length - Math.PI / 2;
      const [x, y] = [Math.cos(angle), Math.sin(angle)];
      const group = this.place(member, x * RADIUS, y * RADIUS, 1.15);
      if (named) group.append(label(member, me, x, y));
      return group;
    });
    return [shape("circle", { class: "track", r: RADIUS }), ...this.centre, ...groups];
  }

  field(sorted) {
    const columns = Math.ceil(Math.sqrt(sorted.length * 1.5));
    const rows = Math.ceil(sorted.length / columns);
    this.svg.setAttribute("viewBox", `${-CELL / 2} ${-CELL / 2} ${columns * CELL} ${rows * CELL}`);
    this.svg.style.maxWidth = `${Math.max(columns * 1.15, 12)}rem`;
    return sorted.map((member, index) =>
      this.place(member, (index % columns) * CELL, Math.floor(index / columns) * CELL, 0.8),
    );
  }

  place(member, x, y, scale) {
    const group = shape("g", { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` });
    const inner = shape("g", { transform: `scale(${scale})` });
    const title = shape("title");
    group.append(title, inner);
    this.drawn.set(member.name, { inner, title, looks: "" });
    return group;
  }

  /** The mark of one member is as it should be; that it has got the value shows as a pulse. */
  show(member) {
    const drawn = this.drawn.get(member.name);
    const [status, holds] = [statusOf(member), holdingOf(member)];
    const looks = `${status} ${holds}`;
    if (drawn.looks === looks) return;
    const arrived = drawn.looks !== "" && holds === "yes" && !drawn.looks.endsWith(" yes");
    drawn.looks = looks;
    const pulse = arrived ? [shape("circle", { class: "pulse", r: 10 })] : [];
    drawn.inner.replaceChildren(...pulse, mark(status, holds));
    drawn.title.textContent = [member.name, STATUSES[status]?.word ?? status, HOLDS[holds]]
      .filter(Boolean)
      .join(", ");
  }
}

function label(member, me, x, y) {
  const whole = member.name;
  const text = whole.length > NAME_SHOWN_MAX ? `${whole.slice(0, NAME_SHOWN_MAX - 1)}…` : whole;
  const anchor = Math.abs(x) < 0.3 ? "middle" : x > 0 ? "start" : "end";
  const attributes = { class: member.name === me ? "name me" : "name", "text-anchor": anchor, text };
  return shape("text", { ...attributes, x: (x * 22).toFixed(1), y: (y * 26 + 5).toFixed(1) });
}
