import unittest

import rust_extension


class TestEdits(unittest.TestCase):
    def test_edits(self):
        self.assertEqual(rust_extension.edits("kitten", "sitting"), 3)
        self.assertEqual(rust_extension.edits("", "grüß"), 4)

    def test_only_texts(self):
        with self.assertRaises(TypeError):
            rust_extension.edits("one", 2)
