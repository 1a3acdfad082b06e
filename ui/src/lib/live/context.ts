import { createContext } from "svelte";

import type { Live } from "./live.svelte";

/** The live events of this page, set by the layout. */
export const [useLive, provideLive] = createContext<Live>();
