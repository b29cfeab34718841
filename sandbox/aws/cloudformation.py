"""Adds to moto's CloudFormation further kinds of resources, failing changes, and outputs and roll-back of changes."""

import json
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.models import Change, ChangeSet, CloudFormationBackend, Event, Stack
from moto.ec2.models import ec2_backends
from moto.ec2.models.route_tables import RouteTable

from sandbox.aws import stack_resources

LOGICAL_ID = "logical_id_in_template"  # the exception's attribute with the logical id of the resource that failed


def install() -> None:
    """Completes moto's CloudFormation; call it before moto's first request."""
    models = {model.cloudformation_type(): model for model in parsing.get_model_list()}
    models |= stack_resources.kinds()
    names = {kind: model.cloudformation_name_type() for kind, model in models.items()}
    create = parsing.parse_and_create_resource

    def create_and_name(logical_id: str, *arguments: Any, **options: Any) -> Any:
        try:
            return create(logical_id, *arguments, **options)
        except Exception as error:
            if not hasattr(error, LOGICAL_ID):
                setattr(error, LOGICAL_ID, logical_id)
            raise

    def delete_route_table(table: RouteTable, account_id: str, region_name: str) -> None:
        table.associations.clear()
        ec2_backends[account_id][region_name].delete_route_table(table.id)

    for owner, name, replacement in (
        (RouteTable, "delete", delete_route_table),
        (parsing, "get_model_map", lambda: models),
        (parsing, "get_name_type_map", lambda: names),
        (parsing, "parse_and_create_resource", create_and_name),
        (parsing.ResourceMap, "build_resource_diff", _differences),
        (ChangeSet, "diff", _changes),
        (CloudFormationBackend, "execute_change_set", _execute),
    ):
        setattr(owner, name, replacement)


def _differences(
    resources: parsing.ResourceMap, template: dict[str, Any], parameters: dict[str, Any] | None = None
) -> dict[str, list[str]]:
    """Replaces moto's function, which ignores parameters within Fn::Sub."""
    old, new = resources._resource_json_map, template["Resources"]
    changed = [name for name, value in (parameters or {}).items() if resources.input_parameters.get(name) != value]

    def differs(name: str) -> bool:
        text = json.dumps(new[name], default=str)
        return bool(new[name] != old[name]) or any(parameter in text for parameter in changed)

    return {
        "Add": [name for name in new if name not in old],
        "Modify": [name for name in new if name in old and differs(name)],
        "Remove": [name for name in old if name not in new],
    }


def _changes(change_set: ChangeSet) -> list[Change]:
    resources = change_set.stack.resource_map
    by_action = _differences(resources, change_set.template_dict, change_set.parameters)
    definitions = {**resources._resource_json_map, **change_set.template_dict["Resources"]}
    return [Change(action, name, definitions[name]["Type"]) for action, names in by_action.items() for name in names]


def _refuse_what_cannot_change(change_set: ChangeSet) -> None:
    """Fails before anything is changed: moto would drop the resource, and fail at the next request for it."""
    for change in change_set.changes:
        model = parsing.get_model_map().get(change.resource_type)
        if (
            change.action == "Modify"
            and model
            and hasattr(model.update_from_cloudformation_json, "__isabstractmethod__")
        ):
            error = NotImplementedError(f"the sandbox cannot change a resource of kind {change.resource_type} in place")
            setattr(error, LOGICAL_ID, change.logical_resource_id)
            raise error


def _execute(
    backend: CloudFormationBackend,
    change_set_name: str,
    stack_name: str | None = None,  # noqa: ARG001  moto passes it
) -> None:
    change_set = backend.describe_change_set(change_set_name)
    assert change_set is not None
    stack, kind = change_set.stack, change_set.change_set_type
    before = (stack.template, stack.template_dict, stack.parameters)
    stack._add_stack_event(f"{kind}_IN_PROGRESS", resource_status_reason="User Initiated")
    change_set.execution_status = "EXECUTE_COMPLETE"
    try:
        _refuse_what_cannot_change(change_set)
        stack.resource_map.update(change_set.template_dict, change_set.parameters)
    except Exception as error:  # noqa: BLE001  any error of moto's service is the resource's failure
        failed = getattr(error, LOGICAL_ID, stack.name)
        definition = change_set.template_dict["Resources"].get(failed, {})
        _add_event(stack, failed, definition.get("Type", ""), f"{kind}_FAILED", str(getattr(error, "message", error)))
        change_set.execution_status = "EXECUTE_FAILED"
        if kind == "CREATE":
            stack.resource_map.delete()
            stack.status = "ROLLBACK_COMPLETE"
        else:
            stack.template, stack.template_dict, stack.parameters = before
            stack.resource_map.update(stack.template_dict, stack.parameters)
            stack.status = "UPDATE_ROLLBACK_COMPLETE"
        stack._add_stack_event(stack.status)
        return
    done = {"Add": "CREATE_COMPLETE", "Modify": "UPDATE_COMPLETE", "Remove": "DELETE_COMPLETE"}
    for change in change_set.changes:
        _add_event(stack, change.logical_resource_id, change.resource_type, done[change.action], None)
    stack.template, stack.template_dict = change_set.template, change_set.template_dict
    stack.parameters = change_set.parameters
    stack.output_map = stack._create_output_map()
    stack.status = f"{kind}_COMPLETE"
    stack._add_stack_event(stack.status)


def _add_event(stack: Stack, logical_id: str, kind: str, state: str, reason: str | None) -> None:
    resource = stack.resource_map._parsed_resources.get(logical_id)
    physical_id = getattr(resource, "physical_resource_id", "") or ""
    stack.events.append(Event(stack.stack_id, stack.name, logical_id, physical_id, kind, state, reason, None))
