import type { PipelineStep } from "$lib/rpc/bindings/PipelineStep";

/**
 * Steps in layers: each stands after all that it needs. Steps that need each other in a circle, or
 * something that is not there, stand last; the project's problems say so.
 */
export function layersOf(steps: readonly PipelineStep[]): PipelineStep[][] {
  const layers: PipelineStep[][] = [];
  const placed = new Set<string>();
  let rest = [...steps];
  while (rest.length > 0) {
    const ready = rest.filter((step) => step.needs.every((need) => placed.has(need)));
    const layer = ready.length > 0 ? ready : rest;
    layers.push(layer);
    for (const step of layer) placed.add(step.name);
    rest = rest.filter((step) => !layer.includes(step));
  }
  return layers;
}
