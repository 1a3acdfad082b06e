/** Charts: live series of metrics, drawn for the pixels there are. */
export { default as MetricChart } from "./MetricChart.svelte";
export { SERIES_COLORS, seriesColor, type Ground } from "./palette";
