/** A list of any length of which only what is in sight exists. */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

export interface VirtualListProps {
  readonly label: string;
  readonly count: number;
  /** Pixels; every row has the same. */
  readonly rowHeight: number;
  readonly keyOf: (index: number) => string | number;
  readonly row: (index: number) => ComponentChildren;
  /** Stays at the end as the list grows, until the reader scrolls up. */
  readonly isFollowing?: boolean;
  readonly onFollowing?: (isFollowing: boolean) => void;
  /** Brought into sight when it changes. */
  readonly shown?: number | undefined;
  readonly onKeyDown?: (event: KeyboardEvent) => void;
}

/** Rows beyond each edge, so that quick scrolling shows no gap. */
const MARGIN = 12;

export function VirtualList(props: VirtualListProps) {
  const { label, count, rowHeight, keyOf, row, isFollowing = false, onFollowing, shown, onKeyDown } = props;
  const box = useRef<HTMLElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const look = (): void => {
      const { scrollTop: top, clientHeight: height } = element;
      setView((before) => (before.top === top && before.height === height ? before : { top, height }));
    };
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);

  useLayoutEffect(() => {
    if (isFollowing && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [isFollowing, count]);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || shown === undefined || shown < 0) return;
    const top = shown * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    if (top + rowHeight > element.scrollTop + element.clientHeight) {
      element.scrollTop = top + rowHeight - element.clientHeight;
    }
  }, [shown, rowHeight]);

  const onWheel = (event: WheelEvent): void => {
    if (event.deltaY < 0) onFollowing?.(false);
  };
  const first = Math.max(0, Math.min(Math.floor(view.top / rowHeight) - MARGIN, count - 1));
  const last = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + MARGIN);
  const rows: ComponentChildren[] = [];
  for (let index = first; index < last; index += 1) {
    rows.push(
      <li
        key={keyOf(index)}
        aria-posinset={index + 1}
        aria-setsize={count}
        class="virtual-row"
        style={{ top: `${index * rowHeight}px`, height: `${rowHeight}px` }}
      >
        {row(index)}
      </li>,
    );
  }
  return (
    <section
      ref={box}
      class="virtual"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable without a mouse
      tabIndex={0}
      aria-label={label}
      onWheel={onWheel}
      onTouchMove={() => onFollowing?.(false)}
      onKeyDown={onKeyDown}
    >
      <ul style={{ height: `${count * rowHeight}px` }} class="virtual-rows">
        {rows}
      </ul>
    </section>
  );
}
