# A Telnyx connection that sends the calls of its numbers to the Realtime API.
#
#   export TELNYX_API_KEY=…
#   terraform init && terraform apply
# Then point the number to the connection, and set its translated number: README.md, steps 4 and 5.

terraform {
  required_version = ">= 1.3"
  required_providers {
    telnyx = {
      source = "team-telnyx/telnyx"
    }
  }
}

variable "sip_host" {
  description = "sip-eu.api.openai.com for a project with data residency in the EU."
  type        = string
  default     = "sip.api.openai.com"
}

variable "username" {
  description = "The provider wants one; calls to OpenAI do not use it."
  type        = string
}

variable "password" {
  description = "As the user name. Long and random."
  type        = string
  sensitive   = true
}

resource "telnyx_outbound_voice_profile" "transfers" {
  name = "sipagent transfers"
}

resource "telnyx_fqdn_connection" "openai" {
  connection_name    = "sipagent"
  username           = var.username
  password           = var.password
  transport_protocol = "TLS"
  encrypted_media    = "SRTP"
  dtmf_type          = "RFC 2833"

  inbound = {
    ani_number_format  = "+E.164"
    dnis_number_format = "+e164"
    codecs             = ["G711U", "G711A"]
  }

  outbound = {
    outbound_voice_profile_id = telnyx_outbound_voice_profile.transfers.id
  }
}

resource "telnyx_fqdn" "openai" {
  connection_id   = telnyx_fqdn_connection.openai.id
  fqdn            = var.sip_host
  dns_record_type = "a"
  port            = 5061
}

output "connection_id" {
  value = telnyx_fqdn_connection.openai.id
}
