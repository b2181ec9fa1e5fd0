import { useState } from "react";
import { Studio } from "./studio.tsx";

/** The studio can be closed and opened again: the link to the host closes with it, its tasks go on. */
export function App() {
  const [isOpen, setOpen] = useState(true);
  return (
    <main>
      <button type="button" onClick={() => setOpen(!isOpen)}>
        {isOpen ? "Close" : "Open"}
      </button>
      {isOpen && <Studio />}
    </main>
  );
}
