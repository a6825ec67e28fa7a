import { api } from "../stash";
import { Page, ROUTE } from "../screens/Page";

export function addPage(): void {
  api().register.route(ROUTE, Page);
}
