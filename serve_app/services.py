"""What the routes work with: the settings, the deployments behind them, and one way of asking these."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from pipelines.errors import MediaTimeout
from pipelines.settings import Settings
from serve_app.crops import Crops
from serve_app.deployments.outcome import unwrap
from serve_app.errors import named
from serve_app.job_queue import JobQueue
from serve_app.live_settings import LiveSettings
from serve_app.stash_sources import StashSources


@dataclass(frozen=True, slots=True)
class Services:
    """One ingress replica's view of the application.

    Attributes:
        live: the settings, which may change while the server runs.
        engine: handle of FaceEngine.
        index: handle of FaceIndex.
        jobs: the queue, as it is in the store.
        key_digest: sha256 of the API key, hex.
        stash: what Stash knows of what a request names.
        crops: links to face crops, and the crops that were made.
    """

    live: LiveSettings
    engine: Any
    index: Any
    jobs: JobQueue
    key_digest: str
    stash: StashSources
    crops: Crops

    @property
    def settings(self) -> Settings:
        """The settings in force at this moment."""
        return self.live.settings

    async def ask(self, response: Any) -> Any:
        """Returns what a deployment answers; cancels the call when it takes too long or the client has gone.

        Raises MediaTimeout after `request_timeout_s`, and whatever the deployment raises.
        """
        try:
            async with asyncio.timeout(self.settings.request_timeout_s):
                return unwrap(await response)
        except TimeoutError as error:
            response.cancel()
            raise MediaTimeout(
                f"The request took longer than {self.settings.request_timeout_s:g} s.",
                "Ask for fewer frames, or raise request_timeout_s.",
            ) from error
        except asyncio.CancelledError:
            response.cancel()
            raise
        except (BackPressureError, DeploymentUnavailableError) as error:
            raise named(error) or error from error  # Serve would answer these two itself, in a shape of its own


async def services_of(request: Request) -> Services:
    """Returns the services that the app was made with. FastAPI would run a plain function in a thread."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]
