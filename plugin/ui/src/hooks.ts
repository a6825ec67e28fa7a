// React hooks of all screens: asking the server, asking again and again, and state that lives in the URL.
import { useCallback, useEffect, useRef, useState } from "react";
import { useHistory, useLocation } from "react-router-dom";
import { Failed } from "./backend";

export interface Asked<T> {
  data: T | undefined;
  error: Failed | undefined;
  loading: boolean;
  reload: () => void;
}

const asFailed = (error: unknown): Failed =>
  error instanceof Failed
    ? error
    : new Failed({
        code: "page",
        message: error instanceof Error ? error.message : String(error),
        hint: "",
        status: 0,
        retry_after_s: null,
      });

/**
 * Asks when the screen opens and whenever `key` changes; keeps the last data while it asks again.
 * With `everyMs` it asks again so often while the page is visible.
 */
export function useAsk<T>(ask: () => Promise<T>, key: string, everyMs?: (data: T | undefined) => number): Asked<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: Failed; loading: boolean }>({
    key,
    loading: true,
  });
  const [turn, setTurn] = useState(0);
  const latest = useRef({ ask, everyMs });
  latest.current = { ask, everyMs };

  useEffect(() => {
    let gone = false;
    let timer = 0;
    const go = () => {
      if (document.hidden) {
        timer = window.setTimeout(go, 1000);
        return;
      }
      latest.current.ask().then(
        (data) => settle({ data }),
        (error: unknown) => settle({ error: asFailed(error) }),
      );
    };
    const settle = (outcome: { data?: T; error?: Failed }) => {
      if (gone) return;
      setState((before) => ({
        key,
        data: outcome.error ? (before.key === key ? before.data : undefined) : outcome.data,
        error: outcome.error,
        loading: false,
      }));
      const wait = latest.current.everyMs?.(outcome.data);
      if (wait) timer = window.setTimeout(go, wait);
    };
    setState((before) => ({ ...before, key, data: before.key === key ? before.data : undefined, loading: true }));
    go();
    return () => {
      gone = true;
      window.clearTimeout(timer);
    };
  }, [key, turn]);

  const reload = useCallback(() => setTurn((count) => count + 1), []);
  // Until the effect has run, the state is still that of the key before.
  if (state.key !== key) return { data: undefined, error: undefined, loading: true, reload };
  return { data: state.data, error: state.error, loading: state.loading, reload };
}

/** Something that the owner starts: its failure and whether it is under way. */
export function useDoing(): {
  doing: boolean;
  error: Failed | undefined;
  run: <T>(work: () => Promise<T>) => Promise<T | undefined>;
  clear: () => void;
} {
  const [doing, setDoing] = useState(false);
  const [error, setError] = useState<Failed>();
  const alive = useRef(true);
  useEffect(
    () => () => {
      alive.current = false;
    },
    [],
  );
  const run = useCallback(async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    setDoing(true);
    setError(undefined);
    try {
      return await work();
    } catch (failure) {
      if (alive.current) setError(asFailed(failure));
      return undefined;
    } finally {
      if (alive.current) setDoing(false);
    }
  }, []);
  return { doing, error, run, clear: useCallback(() => setError(undefined), []) };
}

/** A value of the URL's query: "" when it is not there. Setting it replaces the entry of the history. */
export function useInUrl(name: string): [string, (value: string) => void] {
  const location = useLocation();
  const history = useHistory();
  const value = new URLSearchParams(location.search).get(name) ?? "";
  const set = useCallback(
    (next: string) => {
      const query = new URLSearchParams(history.location.search);
      if (next) query.set(name, next);
      else query.delete(name);
      history.replace({ pathname: history.location.pathname, search: query.toString() });
    },
    [history, name],
  );
  return [value, set];
}

/** What follows `value` once it has stayed the same for a moment: searches while typing. */
export function useSettled<T>(value: T, afterMs = 300): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => setSettled(value), afterMs);
    return () => window.clearTimeout(timer);
  }, [value, afterMs]);
  return settled;
}
