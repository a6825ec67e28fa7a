// Every setting of the server: value, where it comes from, what is allowed; changed one by one.
import React from "react";
import { Badge, Button, Form } from "react-bootstrap";
import { call } from "../backend";
import { useAsk, useDoing } from "../hooks";
import { Failure, Shown } from "../parts/states";
import type { Setting } from "../types";
import { plain } from "../words";

export const Table: React.FC = () => {
  const asked = useAsk(() => call("settings"), "settings");
  const [text, setText] = React.useState("");
  return (
    <Shown asked={asked}>
      {({ settings }) => {
        const found = settings.filter((one) =>
          `${one.key} ${one.description}`.toLowerCase().includes(text.toLowerCase()),
        );
        const categories = [...new Set(found.map((one) => one.category))];
        return (
          <>
            <Form.Control
              className="text-input sense-search"
              aria-label="Find a setting"
              placeholder="Find a setting …"
              value={text}
              onChange={(event: React.ChangeEvent<HTMLInputElement>) => setText(event.target.value)}
            />
            {settings.some((one) => one.restart_needed) ? (
              <div className="alert alert-warning mt-3">Some changes count after the server is started again.</div>
            ) : null}
            {categories.map((category) => (
              <section key={category} className="sense-section">
                <h5 className="text-capitalize">{category}</h5>
                <div className="sense-rows">
                  {found
                    .filter((one) => one.category === category)
                    .map((one) => (
                      <Row key={one.key} setting={one} changed={asked.reload} />
                    ))}
                </div>
              </section>
            ))}
          </>
        );
      }}
    </Shown>
  );
};

const SOURCES: Record<string, string> = {
  env: "environment",
  argument: "start of the server",
  override: "changed here",
  file: "settings.toml",
  default: "default",
};

const Row: React.FC<{ setting: Setting; changed: () => void }> = ({ setting, changed }) => {
  const { doing, error, run } = useDoing();
  const [draft, setDraft] = React.useState<string>();
  const value = draft ?? shown(setting);
  const choices = setting.type === "boolean" ? ["true", "false"] : setting.choices;
  const fixed = setting.fixed || setting.source === "env" || setting.source === "argument";
  const done = () => {
    setDraft(undefined);
    changed();
  };
  const save = (text: string) =>
    void run(() => call("settings_put", { body: { settings: { [setting.key]: read(setting, text) } } }).then(done));
  return (
    <form
      className="sense-setting"
      data-key={setting.key}
      onSubmit={(event) => {
        event.preventDefault();
        if (draft !== undefined) save(draft);
      }}
    >
      <div className="sense-setting-text">
        <label htmlFor={`sense-set-${setting.key}`}>{plain(setting.key)}</label>
        <div className="text-muted sense-small">
          {setting.description} {allowed(setting)}
        </div>
        {error ? <Failure error={error} /> : null}
        {setting.ignored_override ? <div className="sense-bad">{setting.ignored_override}</div> : null}
      </div>
      <div className="sense-setting-value">
        {choices.length && !fixed ? (
          <Form.Control
            as="select"
            custom
            size="sm"
            id={`sense-set-${setting.key}`}
            value={value}
            disabled={doing}
            onChange={(event: React.ChangeEvent<HTMLInputElement>) => save(event.target.value)}
          >
            {choices.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </Form.Control>
        ) : (
          <Form.Control
            size="sm"
            className="text-input"
            id={`sense-set-${setting.key}`}
            type={setting.secret ? "password" : "text"}
            autoComplete="off"
            value={value}
            placeholder={setting.secret && setting.is_set ? "set, not shown" : "not set"}
            readOnly={fixed}
            disabled={doing}
            onChange={(event: React.ChangeEvent<HTMLInputElement>) => setDraft(event.target.value)}
          />
        )}
        <div className="sense-setting-meta">
          <Badge variant={setting.source === "override" ? "primary" : "secondary"}>{SOURCES[setting.source]}</Badge>
          {setting.restart_needed ? <Badge variant="warning">after restart</Badge> : null}
          {draft !== undefined ? (
            <Button size="sm" type="submit" disabled={doing}>
              Save
            </Button>
          ) : null}
          {setting.source === "override" && draft === undefined ? (
            <Button
              size="sm"
              variant="link"
              disabled={doing}
              onClick={() => void run(() => call("setting_reset", { path: { key: setting.key } }).then(done))}
            >
              Reset
            </Button>
          ) : null}
        </div>
      </div>
    </form>
  );
};

function shown({ value }: Setting): string {
  if (value === null || value === undefined) return "";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

function read(setting: Setting, text: string): unknown {
  const trimmed = text.trim();
  if (setting.type === "list") return trimmed ? trimmed.split(",").map((one) => one.trim()) : [];
  if (!trimmed && setting.optional) return null;
  if (setting.type === "string") return trimmed;
  if (setting.type === "boolean") return trimmed === "true";
  return Number.isFinite(Number(trimmed)) && trimmed ? Number(trimmed) : trimmed;
}

function allowed(setting: Setting): string {
  const { minimum, maximum, above } = setting;
  const least = above !== null ? `more than ${above}` : minimum !== null ? `from ${minimum}` : "";
  const most = maximum !== null ? `up to ${maximum}` : "";
  const range = [least, most].filter(Boolean).join(" ");
  const fixed = setting.fixed ? `Set by ${setting.variable} or settings.toml only.` : "";
  return [range && `Allowed: ${range}.`, fixed].filter(Boolean).join(" ");
}
