/** Short messages that go by themselves; they are also read aloud. */
export { toast } from "svelte-sonner";
