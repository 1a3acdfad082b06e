/** Numbers, times and sizes as people read them. */
export { locale, mendNavigatorLanguage, safeLocale } from "./locale";
export {
  digitsFor,
  exactNumber,
  formatBytes,
  formatCount,
  formatNumber,
  toDouble,
} from "./numbers";
export { formatDuration, formatExact, formatRelative, formatRunningDuration } from "./times";
