// Whom nobody knows yet: faces that come again in several scenes, to be named once or ignored for ever.
import React from "react";
import { Button } from "react-bootstrap";
import { Link } from "react-router-dom";
import { faEyeSlash, faMagnifyingGlass, faUserPen, faUserSecret } from "@fortawesome/free-solid-svg-icons";
import { many, unwrap } from "../backend";
import { useAsk, useDoing, useInUrl } from "../hooks";
import { Face } from "../parts/faces";
import { Icon } from "../parts/Icon";
import { Pages } from "../parts/Pages";
import { Empty, Failure, Shown } from "../parts/states";
import { analyze, dismiss, restoreBatch } from "../recommendations/asking";
import { Nearest } from "../recommendations/details/Nearest";
import { read, write } from "../recommendations/filters";
import { JobProgress } from "../recommendations/JobProgress";
import { named, NamePerson } from "../recommendations/NamePerson";
import { UNKNOWN_PERSON } from "../recommendations/naming";
import { NoticeBar, useNotices } from "../recommendations/notices";
import type { Recommendation, RecommendationPage, UnknownPersonDetails } from "../recommendations/records";
import type { Job } from "../types";
import { ago, several } from "../words";

const PER_PAGE = 24;
const FACES_SHOWN = 4;

interface Found {
  page: RecommendationPage;
  lookedAt: string | null;
}

async function ask(offset: number): Promise<Found> {
  const query = { type: [UNKNOWN_PERSON], status: ["pending" as const], limit: PER_PAGE, offset };
  const [page, types] = await many([{ mode: "recommendations", query }, { mode: "recommendation_types" }]);
  const type = unwrap(types).types.find((one) => one.id === UNKNOWN_PERSON);
  return { page: unwrap(page) as RecommendationPage, lookedAt: type?.last_run?.ended_at ?? null };
}

export const Unknown: React.FC = () => {
  const [from, setFrom] = useInUrl("from");
  const offset = Number(from) || 0;
  const asked = useAsk(() => ask(offset), `unknown ${offset}`);
  const notices = useNotices(asked.reload);
  const { doing, error, run } = useDoing();
  const [naming, setNaming] = React.useState<Recommendation>();
  const [looking, setLooking] = React.useState<Job>();
  const ignore = (one: Recommendation) =>
    void run(async () => {
      const { batch } = await dismiss({ ids: [one.id] }, "forever");
      notices.say({
        text: "This person is ignored for ever.",
        undo: batch ? async () => restoreBatch(batch).then(() => "This person is back.") : undefined,
      });
      asked.reload();
    });
  return (
    <>
      {error ? <Failure error={error} /> : null}
      <Shown asked={asked}>
        {({ page, lookedAt }) => (
          <>
            <div className="sense-section-head">
              <p className="text-muted mb-0">
                {several(page.total, "unknown person", "unknown people")} in three scenes and more.{" "}
                {lookedAt ? `Looked for ${ago(lookedAt)}.` : "Not looked for yet."}
              </p>
              <Button
                size="sm"
                variant="secondary"
                disabled={doing}
                onClick={() => void run(async () => setLooking(await analyze(UNKNOWN_PERSON, false)))}
              >
                <Icon icon={faMagnifyingGlass} /> Look now
              </Button>
            </div>
            {looking ? <JobProgress key={looking.id} first={looking} title="Looking" ended={asked.reload} /> : null}
            {page.recommendations.length ? (
              <div className="sense-grid sense-unknown">
                {page.recommendations.map((one) => (
                  <Cluster
                    key={one.id}
                    one={one}
                    doing={doing}
                    name={() => setNaming(one)}
                    ignore={() => ignore(one)}
                  />
                ))}
              </div>
            ) : (
              <Empty title="Nobody unknown comes again" icon={faUserSecret}>
                Once the library is scanned, faces of nobody enrolled that are in three scenes and more are shown here.
              </Empty>
            )}
            <Pages
              total={page.total}
              size={PER_PAGE}
              offset={offset}
              go={(next) => setFrom(next ? String(next) : "")}
            />
          </>
        )}
      </Shown>
      <NoticeBar notices={notices} />
      {naming ? (
        <NamePerson
          recommendation={naming}
          close={() => setNaming(undefined)}
          done={(accepted, title) => {
            setNaming(undefined);
            notices.say(named(accepted, title));
            asked.reload();
          }}
        />
      ) : null}
    </>
  );
};

interface ClusterProps {
  one: Recommendation;
  doing: boolean;
  name: () => void;
  ignore: () => void;
}

const Cluster: React.FC<ClusterProps> = ({ one, doing, name, ignore }) => {
  const details = one.details as unknown as UnknownPersonDetails;
  const search = write({ ...read(""), type: UNKNOWN_PERSON, open: one.id });
  return (
    <article className="card sense-card sense-cluster" aria-label={one.title} data-id={one.id}>
      <div className="sense-face-row">
        {details.best.slice(0, FACES_SHOWN).map((best, place) => (
          <Face key={place} path={best.crop_url} name="the unknown person" size={72} />
        ))}
      </div>
      <div>
        <Link to={{ search }}>In {several(details.scene_count, "scene")}</Link>, {several(details.faces, "face")}
      </div>
      <Nearest near={details.near.slice(0, 2)} words="Looks most like" />
      <div className="sense-buttons">
        <Button size="sm" disabled={doing} onClick={name}>
          <Icon icon={faUserPen} /> Name …
        </Button>
        <Button size="sm" variant="secondary" disabled={doing} onClick={ignore}>
          <Icon icon={faEyeSlash} /> Ignore for ever
        </Button>
      </div>
    </article>
  );
};
