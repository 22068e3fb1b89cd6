/** Parts of the page that are loaded when they are wanted. */
import type { ComponentType, VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Text } from "./visible-text.tsx";

/** A component like the one that `load` brings. Until it is there its place says so, and if it cannot be had, why. */
export function lazily<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
): (props: Props) => VNode | null {
  let loaded: ComponentType<Props> | undefined;
  return function Lazily(props: Props) {
    const [, setDone] = useState(false);
    const [problem, setProblem] = useState<string>();
    useEffect(() => {
      let isWanted = true;
      if (loaded === undefined)
        load().then(
          (component) => {
            loaded = component;
            if (isWanted) setDone(true);
          },
          (thrown: unknown) => {
            if (isWanted) setProblem(thrown instanceof Error ? thrown.message : String(thrown));
          },
        );
      return () => {
        isWanted = false;
      };
    }, []);
    const Loaded = loaded;
    if (Loaded !== undefined) return <Loaded {...props} />;
    return (
      <p class="empty" role="status">
        {problem === undefined ? (
          "Loading…"
        ) : (
          <>
            This part of the page could not be loaded: <Text value={problem} max={400} />. Is there a newer one? Load
            the page again.
          </>
        )}
      </p>
    );
  };
}
