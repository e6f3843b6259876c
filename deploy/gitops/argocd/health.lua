-- Health of a Workspace, RoleBinding or ApiKeyRef, from what the operator says of it (docs/gitops.md).

local status = obj.status or {}

-- A new object says -1, one that was just changed an earlier generation: what it says is not about this.
if status.observedGeneration == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the anthropic-rbac operator, which has not seen this yet" }
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(name, value)
  return conditions[name] ~= nil and conditions[name].status == value
end

local function because(name, reason)
  return conditions[name] ~= nil and conditions[name].reason == reason
end

local function words(name)
  return conditions[name].reason .. ": " .. conditions[name].message
end

-- This very object must be edited.
if is("Stalled", "True") then
  return { status = "Degraded", message = words("Stalled") }
end
if conditions.Ready == nil then
  return { status = "Progressing", message = "Waiting for the anthropic-rbac operator, which has not judged this yet" }
end
if not is("Ready", "True") then
  return { status = "Degraded", message = words("Ready") }
end
-- An expired key does not work at Anthropic, wherever it is.
if because("RotationDue", "Expired") then
  return { status = "Degraded", message = words("RotationDue") }
end
-- As asked for, and nobody is served by it.
if obj.spec.state == "Disabled" then
  local name = conditions.Active ~= nil and "Active" or "Ready"
  return { status = "Suspended", message = words(name) }
end

-- Healthy, and still something to know: the first of these.
if because("RotationDue", "Overdue") or because("RotationDue", "DueSoon") then
  return { status = "Healthy", message = words("RotationDue") }
end
if is("Unique", "False") then
  return { status = "Healthy", message = words("Unique") }
end
if is("Active", "False") then
  return { status = "Healthy", message = words("Active") }
end
if is("PreviousKeyRetirable", "True") then
  return { status = "Healthy", message = words("PreviousKeyRetirable") }
end
return { status = "Healthy", message = conditions.Ready.message }
