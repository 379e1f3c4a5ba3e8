-- Health of a FireworksUser for Argo CD: the value of resource.customizations.health.iam.fireworks.ai_FireworksUser in
-- the ConfigMap argocd-cm. What is as intended does not block a wave: a suspended object, an observed one that differs,
-- and a user that the account does not have (yet).
local intended = {Suspended = true, Drifted = true, UserNotFound = true}
local health = {status = "Progressing", message = "waiting for the operator"}
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
for _, condition in ipairs(obj.status.conditions or {}) do
  if condition.type == "Ready" then
    health.message = condition.reason .. ": " .. condition.message
    if condition.status == "True" or intended[condition.reason] then
      health.status = "Healthy"
    elseif condition.status == "False" then
      health.status = "Degraded"
    end
  end
end
return health
