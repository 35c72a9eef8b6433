// How long to wait before the next try to connect: growing pauses, spread by chance so that many pages do not all
// come back at once. It must not know what is tried.

export const PAUSE_FIRST_MS = 500;
export const PAUSE_MAX_MS = 10_000;

/** The pause after so many failures in a row, 1 or more; `chance` is 0 to 1. */
export function pauseMs(failures, chance) {
  const whole = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(failures - 1, 30));
  return Math.round(whole / 2 + (whole / 2) * chance);
}
