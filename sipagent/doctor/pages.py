"""Where things are in OpenAI's console. Menus as of 2026-11; addresses without one lead to the menu."""

API_KEYS = "API keys: https://platform.openai.com/api-keys"
PROJECT = "Settings → Project → General: https://platform.openai.com/settings"
WEBHOOKS = "Settings → Project → Webhooks: https://platform.openai.com/settings/project/webhooks"
LIMITS = "Settings → Project → Limits: https://platform.openai.com/settings"
