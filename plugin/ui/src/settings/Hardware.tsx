import React from "react";
import { call } from "../backend";
import { useAsk } from "../hooks";
import { Shown } from "../parts/states";
import { bytes, several, span } from "../words";

const MB = 1_000_000;

/** The machine that the server runs on, and what it makes of it. */
export const Hardware: React.FC = () => {
  const asked = useAsk(
    () => call("system"),
    "system",
    () => 10000,
  );
  return (
    <Shown asked={asked}>
      {({ hardware, ...system }) => (
        <dl className="sense-facts">
          <dt>Version</dt>
          <dd>
            {system.version}, up for {span(system.uptime_s)}
          </dd>
          <dt>Processor</dt>
          <dd>
            {hardware.cpu_cores} cores, {hardware.usable_cpus} threads usable, load {hardware.load_1_min.toFixed(1)}
          </dd>
          <dt>Memory</dt>
          <dd>
            {bytes(hardware.memory_available_mb * MB)} free of {bytes(hardware.memory_total_mb * MB)}
          </dd>
          <dt>Storage</dt>
          <dd>{bytes(hardware.storage_free_mb * MB)} free in the data folder</dd>
          <dt>Graphics</dt>
          <dd>{hardware.gpus.length ? hardware.gpus.join(", ") : "none; everything runs on the processor"}</dd>
          <dt>Models run on</dt>
          <dd>
            {system.execution_providers.map((one) => one.replace("ExecutionProvider", "")).join(", ") || "starting"}
          </dd>
          <dt>Ray</dt>
          <dd>
            {several(system.ray.nodes, "node")}, {system.ray.cpus_free} of {system.ray.cpus} processors free
          </dd>
        </dl>
      )}
    </Shown>
  );
};
