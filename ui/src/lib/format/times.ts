const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A length of time: `240 ms`, `4.2 s`, `3 m 07 s`, `1 h 04 m`, `2 d 03 h`. Below zero is `0 ms`. */
export function formatDuration(millis: number): string {
  const length = Math.max(0, millis);
  if (length < SECOND) return `${length.toFixed(0)} ms`;
  if (length < 10 * SECOND) return `${(Math.floor(length / 100) / 10).toFixed(1)} s`;
  if (length < MINUTE) return `${Math.floor(length / SECOND).toFixed(0)} s`;
  if (length < HOUR) return pair(length, MINUTE, "m", SECOND, "s");
  if (length < DAY) return pair(length, HOUR, "h", MINUTE, "m");
  return pair(length, DAY, "d", HOUR, "h");
}

/** A length of time that is still growing: whole seconds, so that it does not flicker. */
export function formatRunningDuration(millis: number): string {
  return millis < MINUTE
    ? `${Math.floor(Math.max(0, millis) / SECOND).toFixed(0)} s`
    : formatDuration(millis);
}

function pair(length: number, large: number, largeName: string, small: number, smallName: string) {
  const whole = Math.floor(length / large);
  const rest = Math.floor((length - whole * large) / small);
  return `${whole.toFixed(0)} ${largeName} ${rest.toFixed(0).padStart(2, "0")} ${smallName}`;
}

/**
 * How long ago: `just now`, `5 min ago`, `3 h ago`, `yesterday`, `4 days ago`, then the date. A
 * clock that runs ahead gives `just now` within a minute and the date beyond.
 */
export function formatRelative(time: number, now: number, locale: string): string {
  const ago = now - time;
  if (ago < -MINUTE) return formatDate(time, now, locale);
  if (ago < MINUTE) return "just now";
  if (ago < HOUR) return `${Math.floor(ago / MINUTE).toFixed(0)} min ago`;
  const days = daysBetween(time, now);
  if (days === 0 || ago < 6 * HOUR) return `${Math.floor(ago / HOUR).toFixed(0)} h ago`;
  if (days === 1) return "yesterday";
  if (days < 7) return `${days.toFixed(0)} days ago`;
  return formatDate(time, now, locale);
}

/** The exact time, for hover and copy: `2026-11-21 14:03:22.120`, in local time. */
export function formatExact(time: number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${String(date.getFullYear())}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

const dates = new Map<string, Intl.DateTimeFormat>();

function formatDate(time: number, now: number, locale: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  const isThisYear = date.getFullYear() === new Date(now).getFullYear();
  const key = `${locale} ${String(isThisYear)}`;
  let format = dates.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat(locale, {
      day: "numeric",
      month: "short",
      ...(isThisYear ? {} : { year: "numeric" }),
    });
    dates.set(key, format);
  }
  return format.format(date);
}

/** Midnights between two times, in local time. */
function daysBetween(earlier: number, later: number): number {
  const midnight = (time: number) => new Date(time).setHours(0, 0, 0, 0);
  return Math.round((midnight(later) - midnight(earlier)) / DAY);
}
