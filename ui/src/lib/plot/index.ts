/** Charts: live series of metrics, drawn for the pixels there are. */
export type { XRange } from "./line";
export { default as LineSample } from "./LineSample.svelte";
export { ChartLink } from "./link.svelte";
export { groupMetrics } from "./metricGroups";
export { default as MetricChart } from "./MetricChart.svelte";
export { SERIES_COLORS, seriesColor, seriesStyles, type Ground, type SeriesStyle } from "./palette";
export { shortName, type RunsXKind } from "./runs";
export { default as RunsChart } from "./RunsChart.svelte";
