# A Twilio Elastic SIP trunk that sends a number's calls to the Realtime API.
#
#   export TWILIO_ACCOUNT_SID=… TWILIO_AUTH_TOKEN=…
#   terraform init && terraform apply

terraform {
  required_version = ">= 1.3"
  required_providers {
    twilio = {
      source  = "twilio/twilio"
      version = "~> 0.18"
    }
  }
}

variable "project_id" {
  description = "OpenAI: Settings, Project, General."
  type        = string

  validation {
    condition     = can(regex("^proj_[A-Za-z0-9]+$", var.project_id))
    error_message = "A project id begins with proj_."
  }
}

variable "sip_host" {
  description = "sip-eu.api.openai.com for a project with data residency in the EU."
  type        = string
  default     = "sip.api.openai.com"
}

variable "phone_number_sid" {
  description = "PN…: a number that the account has already. It leaves whatever answers it now."
  type        = string
}

variable "disaster_recovery_url" {
  description = "TwiML that Twilio runs when the trunk's target fails: dial a person, or say a sentence."
  type        = string
}

resource "twilio_trunking_trunks_v1" "agent" {
  friendly_name            = "sipagent"
  secure                   = true         # TLS and SRTP; without it RTP is sent in the clear
  transfer_mode            = "enable-all" # REFER, to SIP addresses and to the telephone network
  disaster_recovery_url    = var.disaster_recovery_url
  disaster_recovery_method = "POST"
}

resource "twilio_trunking_trunks_origination_urls_v1" "openai" {
  trunk_sid     = twilio_trunking_trunks_v1.agent.sid
  friendly_name = "OpenAI Realtime"
  sip_url       = "sip:${var.project_id}@${var.sip_host};transport=tls"
  enabled       = true
  priority      = 10
  weight        = 10
}

resource "twilio_trunking_trunks_phone_numbers_v1" "number" {
  trunk_sid        = twilio_trunking_trunks_v1.agent.sid
  phone_number_sid = var.phone_number_sid
}

output "trunk_sid" {
  value = twilio_trunking_trunks_v1.agent.sid
}
