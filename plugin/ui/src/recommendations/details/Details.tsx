// Which component shows the details of which type; a type without one shows its reasons in words.
import React from "react";
import type {
  Details,
  DuplicateImagesDetails,
  DuplicatePerformersDetails,
  MissingLinkDetails,
  SceneFilesDetails,
  ScenePairDetails,
  UnidentifiedSceneDetails,
  UnknownPersonDetails,
} from "../records";
import { DuplicateImages } from "./DuplicateImages";
import { DuplicatePerformers } from "./DuplicatePerformers";
import { Reasons } from "./facts";
import type { DetailProps } from "./facts";
import { MissingLink } from "./MissingLink";
import { SceneFiles } from "./SceneFiles";
import { ScenePair } from "./ScenePair";
import { UnidentifiedScene } from "./UnidentifiedScene";
import { UnknownPerson } from "./UnknownPerson";

export const DetailsOf: React.FC<DetailProps<Details>> = (props) => {
  const { details, ...rest } = props;
  switch (props.recommendation.type) {
    case "duplicate_scenes":
    case "same_set_scenes":
      return <ScenePair {...rest} details={details as ScenePairDetails} />;
    case "duplicate_scene_files":
      return <SceneFiles {...rest} details={details as SceneFilesDetails} />;
    case "duplicate_performers":
      return <DuplicatePerformers {...rest} details={details as DuplicatePerformersDetails} />;
    case "duplicate_images":
      return <DuplicateImages {...rest} details={details as DuplicateImagesDetails} />;
    case "unidentified_scene":
      return <UnidentifiedScene {...rest} details={details as UnidentifiedSceneDetails} />;
    case "unknown_person":
      return <UnknownPerson {...rest} details={details as UnknownPersonDetails} />;
    case "missing_stashbox_link":
      return <MissingLink {...rest} details={details as MissingLinkDetails} />;
    default:
      return <Reasons reasons={details.reasons} />;
  }
};
