/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {readonly number[]} values @param {number} share 0.99: what 99 of 100 do not exceed */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/**
 * How a side compares with `direct`, run by run: what the machine does meanwhile hits both sides of a run,
 * so the ratio of a run says more than the ratio of two medians.
 *
 * @param {readonly Record<string, number>[]} runs the figure of each side in each run
 * @param {string} side
 */
export function ratios(runs, side) {
  const each = runs.map((run) => run[side] / run.direct);
  return { median: median(each), min: Math.min(...each), max: Math.max(...each), each };
}

/** @param {readonly (readonly string[])[]} rows the first is the head */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join(" | ")} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join("\n");
}
