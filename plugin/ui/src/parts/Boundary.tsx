import React from "react";

interface State {
  error: Error | undefined;
}

/** Keeps what breaks inside it away from Stash's own page. `quiet` shows nothing instead of a message. */
export class Boundary extends React.Component<{ quiet?: boolean; children?: React.ReactNode }, State> {
  override state: State = { error: undefined };

  static getDerivedStateFromError(error: Error): State {
    return { error };
  }

  override componentDidCatch(error: Error): void {
    console.error("Stash Sense:", error);
  }

  override render(): React.ReactNode {
    if (!this.state.error) return this.props.children ?? null;
    if (this.props.quiet) return null;
    return (
      <div className="alert alert-danger sense-failure" role="alert">
        <strong>Stash Sense could not show this.</strong> {this.state.error.message}{" "}
        <button type="button" className="btn btn-link p-0" onClick={() => this.setState({ error: undefined })}>
          Try again
        </button>
      </div>
    );
  }
}
