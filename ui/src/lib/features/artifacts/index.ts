/** The files of a run: a tree beside what is in them. */
export { default as ArtifactBrowser } from "./ArtifactBrowser.svelte";
