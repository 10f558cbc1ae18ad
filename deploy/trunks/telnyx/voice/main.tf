# A Telnyx TeXML application that asks sipagent about each call.
#
#   export TELNYX_API_KEY=…
#   terraform init && terraform apply
# Then point the number to the application: README.md.

terraform {
  required_version = ">= 1.3"
  required_providers {
    telnyx = {
      source = "team-telnyx/telnyx"
    }
  }
}

variable "public_url" {
  description = "carriers.public_url of the configuration."
  type        = string

  validation {
    condition     = can(regex("^https://[^/]+$", var.public_url))
    error_message = "https, and nothing behind the host."
  }
}

variable "fallback_url" {
  description = "TeXML that Telnyx runs when sipagent does not answer: dial a person, or say a sentence."
  type        = string
}

resource "telnyx_outbound_voice_profile" "calls" {
  name = "sipagent"
}

resource "telnyx_texml_application" "agent" {
  friendly_name      = "sipagent"
  voice_url          = "${var.public_url}/carriers/telnyx/texml/voice"
  voice_fallback_url = var.fallback_url
  voice_method       = "post"

  outbound = {
    outbound_voice_profile_id = telnyx_outbound_voice_profile.calls.id
  }
}

output "connection" {
  description = "TELNYX_CONNECTION"
  value       = telnyx_texml_application.agent.id
}
