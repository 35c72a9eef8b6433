// Two small charts by uPlot, of numbers that are given: bars of counts, and points on a logarithmic scale.
// They follow their place's width and the page's colours. It must not know what the numbers mean.

const HEIGHT = 170;

/** A chart in `place`; `options` beside size and colours, `data` as uPlot wants them. */
export class Chart {
  constructor(place, options) {
    this.place = place;
    this.options = options;
    this.plot = null;
    this.data = null;
    new ResizeObserver(() => this.fit()).observe(place);
    for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"]) {
      matchMedia(query).addEventListener("change", () => this.draw());
    }
  }

  show(data) {
    this.data = data;
    if (this.plot === null) this.draw();
    else this.plot.setData(data);
  }

  fit() {
    const width = Math.floor(this.place.clientWidth);
    if (this.plot !== null && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
    else if (this.plot === null) this.draw();
  }

  /** Drawn anew, in the colours of now. */
  draw() {
    this.plot?.destroy();
    this.plot = null;
    const width = Math.floor(this.place.clientWidth);
    if (this.data === null || width === 0) return;
    this.plot = new window.uPlot({ width, height: HEIGHT, ...this.options(colours()) }, this.data, this.place);
  }
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    ink: of("--muted"),
    line: of("--line"),
    accent: of("--accent"),
    surface: of("--ground"),
    family: "system-ui, sans-serif",
  };
}

function axis({ ink, line, family }, more) {
  return {
    stroke: ink,
    font: `12px ${family}`,
    grid: { stroke: line, width: 1 },
    ticks: { show: false },
    ...more,
  };
}

function base(palette, x, y) {
  return {
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 18, 0, 0], // the last time of the axis stands half beyond it
    axes: [
      axis(palette, {
        values: (_, splits, __, ___, step) => splits.map((at) => hour(at, step)),
        space: 70,
        size: 30,
        grid: { show: false },
      }),
      axis(palette, { size: 56, ...y.axis }),
    ],
    scales: { x: { time: true, range: x }, y: y.scale },
  };
}

function hour(at, step) {
  const options = { hour: "2-digit", minute: "2-digit", hour12: false };
  if (step >= 43200) return new Date(at * 1000).toLocaleDateString([], { day: "numeric", month: "short" });
  return new Date(at * 1000).toLocaleTimeString([], step < 60 ? { ...options, second: "2-digit" } : options);
}

/** Bars of counts; `range` gives the ends of the time axis. */
export function bars(range) {
  return (palette) => {
    const whole = (_, low, high) => [0, Math.max(2, Math.ceil(high * 1.1))];
    const y = { scale: { range: whole }, axis: { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500], space: 34 } };
    return {
      ...base(palette, range, y),
      series: [
        {},
        {
          stroke: palette.accent,
          fill: palette.accent,
          width: 0,
          points: { show: false },
          paths: window.uPlot.paths.bars({ size: [0.8, 24, 2] }),
        },
      ],
    };
  };
}

function onlyDecades(_, splits) {
  return splits.map((at) => (Math.abs(Math.log10(at) - Math.round(Math.log10(at))) < 1e-6 ? at : null));
}

/** Points on a logarithmic scale, labelled by `words`. */
export function points(range, words) {
  return (palette) => {
    const decades = (_, low, high) => [
      10 ** Math.floor(Math.log10(Math.min(low ?? 0.01, 0.01))),
      10 ** Math.ceil(Math.log10(Math.max(high ?? 1, 1))),
    ];
    const labels = (_, splits) => splits.map((at) => (at === null ? null : words(at)));
    const grid = { stroke: palette.line, width: 1, filter: onlyDecades };
    return {
      ...base(palette, range, {
        scale: { distr: 3, range: decades },
        axis: { values: labels, filter: onlyDecades, grid },
      }),
      series: [
        {},
        {
          stroke: palette.accent,
          paths: () => null,
          points: { show: true, size: 7, width: 1.5, fill: palette.surface },
        },
      ],
    };
  };
}
