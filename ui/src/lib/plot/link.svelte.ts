/** What all charts of a page have in common at a moment: the crosshair, and the line that is meant. */
export class ChartLink {
  /** Where the crosshair stands; `null` for nowhere. */
  x = $state<number | null>(null);
  /** The line that stands out; `null` for all alike. */
  highlighted = $state<string | null>(null);
}
