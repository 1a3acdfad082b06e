/** Experiments: the places on the left. */
export { default as ExperimentList } from "./ExperimentList.svelte";
