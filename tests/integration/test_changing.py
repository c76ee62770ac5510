"""docs/CHANGING.md: its commands print what it says, one after the other in one shell, beside one meshd."""

import unittest

import pages


class Changing(pages.Page):
    def test_each_command_prints_what_the_page_says(self):
        self.run_page("CHANGING.md")
        self.assertGreater(len(self.steps), 20)


if __name__ == "__main__":
    unittest.main()
