/** The package's worker, and beside it what tells when frames arrive. */
import "./frame-arrivals.js";
import "/dist/worker.js";
