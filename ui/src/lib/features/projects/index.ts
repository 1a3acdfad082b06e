/** Projects: the list, one project as forms, running a past run again. */
export {
  againAddress,
  projectAddress,
  readAgain,
  readProjectPlace,
  type Again,
  type ProjectPlace,
} from "./address";
export { resume, runAgain } from "./again";
export { default as Parts } from "./Parts.svelte";
export { default as ProjectList } from "./ProjectList.svelte";
export { default as ProjectPage } from "./ProjectPage.svelte";
export { default as RerunPage } from "./RerunPage.svelte";
export { default as ResumePage } from "./ResumePage.svelte";
