/** A line of a menu. */
export type MenuEntry =
  | {
      kind: "item";
      name: string;
      /** A second, fainter line. */
      note?: string | undefined;
      /** As in an action: `$mod+K`. */
      shortcut?: string | undefined;
      /** Draws a check mark, for one of several choices. */
      isChecked?: boolean;
      isDisabled?: boolean;
      run: () => void;
    }
  | { kind: "heading"; text: string }
  | { kind: "line" };
