// PluginApi's patching, with the semantics of Stash: before changes arguments, instead replaces, after changes results.
import React from "react";

type Fn = (...args: never[]) => unknown;
type Patches = Record<string, Fn[]>;

const befores: Patches = {};
const insteads: Patches = {};
const afters: Patches = {};
export const components: Record<string, unknown> = {};

const adder = (kept: Patches) => (name: string, patch: Fn) => {
  (kept[name] ??= []).push(patch);
};
export const before = adder(befores);
export const instead = adder(insteads);
export const after = adder(afters);

export function registerComponent(name: string, component: unknown): unknown {
  if (components[name]) throw new Error(`Component ${name} has already been registered`);
  components[name] = component;
  return component;
}

function runInstead(patches: Fn[], target: Fn, args: unknown[]): unknown {
  const next = (place: number): Fn => {
    const patch = patches[place];
    return patch ? (...given: never[]) => patch(...given, next(place + 1) as never) : target;
  };
  return next(0)(...(args as never[]));
}

/** A component that plugins may patch. */
export function patched<P>(name: string, component: React.FC<P>): React.FC<P> {
  const whole = (...first: unknown[]) => {
    let args = first;
    for (const patch of befores[name] ?? []) args = patch(...(args as never[])) as unknown[];
    const patches = insteads[name];
    let result = patches
      ? runInstead(patches, component as Fn, args)
      : (component as unknown as Fn)(...(args as never[]));
    for (const patch of afters[name] ?? []) result = patch(...(args as never[]), result as never);
    return result;
  };
  return whole as unknown as React.FC<P>;
}

/** A component that only holds its children. */
export function container<P = unknown>(name: string): React.FC<React.PropsWithChildren<P>> {
  const whole = patched<React.PropsWithChildren<P>>(name, (props) => <>{props.children}</>);
  registerComponent(name, whole);
  return whole;
}
