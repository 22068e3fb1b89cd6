/** What asks before it acts. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Dialog(props: {
  readonly label: string;
  readonly onClose: () => void;
  readonly className?: string;
  readonly children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.className ?? ""}
      aria-label={props.label}
      onCancel={props.onClose}
      onClose={props.onClose}
    >
      {props.children}
    </dialog>
  );
}

export function Confirmation(props: {
  readonly title: string;
  readonly children: ComponentChildren;
  readonly action: string;
  readonly isDangerous?: boolean;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
}) {
  const { title, children, action, isDangerous = false, onConfirm, onClose } = props;
  return (
    <Dialog label={title} onClose={onClose}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          onConfirm();
        }}
      >
        <h2>{title}</h2>
        {children}
        <div class="actions">
          <button type="button" onClick={onClose}>
            Go back
          </button>
          <button type="submit" class={isDangerous ? "danger" : "primary"}>
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Copies, and says so. */
export function Copy({ text, label = "Copy" }: { readonly text: () => string; readonly label?: string }) {
  const button = useRef<HTMLButtonElement>(null);
  const copy = async (): Promise<void> => {
    // There is no clipboard over plain HTTP, and browsers may ask their users.
    const isCopied = await navigator.clipboard?.writeText(text()).then(
      () => true,
      () => false,
    );
    const element = button.current;
    if (element === null) return;
    element.textContent = isCopied ? "Copied" : "Not allowed";
    setTimeout(() => {
      element.textContent = label;
    }, 1_500);
  };
  return (
    <button ref={button} type="button" class="small" onClick={() => void copy()}>
      {label}
    </button>
  );
}

/** Bytes as a file. The browser is told nothing of what is in it, so that it opens nothing. */
export function save(name: string, content: string | Uint8Array): void {
  const part = typeof content === "string" ? content : Uint8Array.from(content);
  const url = URL.createObjectURL(new Blob([part], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name.replaceAll(/[^\w.-]/g, "_").slice(0, 100) || "result";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
